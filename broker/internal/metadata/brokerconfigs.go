package metadata

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/millrace/millrace/broker/internal/config"
)

// AllBrokers is the name under which settings are set at run time for every broker.
const AllBrokers = ""

// ChangeBrokerConfigs decides what changes do to the settings that were set at run time for a broker, or for
// AllBrokers; what they leave out stays. settings are those of the start, or what With has made of them.
//
// It refuses with ErrInvalidConfig what is no list and is treated as one, and with ErrInvalidRequest a broker that is
// not this one, a setting that cannot be changed at run time or comes twice, a null value, an unknown operation, and
// a value that is out of range or contradicts another, be it one of a topic.
func (image *Image) ChangeBrokerConfigs(settings *config.Broker, name string, changes []ConfigChange) ([]Record, error) {
	base, err := settings.With(nil, nil)
	if err == nil && name != AllBrokers {
		base, err = settings.With(image.BrokerConfigs(AllBrokers), nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	after, err := changedConfigs(base, config.BrokerSetting, image.BrokerConfigs(name), changes)
	if err != nil {
		return nil, err
	}
	return image.brokerConfigRecords(settings, name, after)
}

// ReplaceBrokerConfigs decides what it takes for a broker, or for AllBrokers, to have exactly the given settings at run
// time (the older AlterConfigs). It refuses as ChangeBrokerConfigs does.
func (image *Image) ReplaceBrokerConfigs(settings *config.Broker, name string, values []ConfigValue) ([]Record, error) {
	after, err := replacedConfigs(values)
	if err != nil {
		return nil, err
	}
	return image.brokerConfigRecords(settings, name, after)
}

func (image *Image) brokerConfigRecords(settings *config.Broker, name string, after map[string]string) ([]Record, error) {
	cluster, own := after, image.BrokerConfigs(image.brokerName())
	if name != AllBrokers {
		if err := image.CheckBrokerName(name); err != nil {
			return nil, err
		}
		cluster, own = image.BrokerConfigs(AllBrokers), after
	}
	changed, err := settings.With(cluster, own)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRequest, err)
	}
	for _, t := range image.topics {
		if _, err := changed.Topic(t.Configs); err != nil {
			return nil, fmt.Errorf("%w: with the settings of topic %q: %w", ErrInvalidRequest, t.Name, err)
		}
	}
	return configRecords(resourceBroker, name, image.BrokerConfigs(name), after), nil
}

// EffectiveConfigs are the settings that the broker goes by: those that it was started with below those that were set
// at run time. An error means that the start's settings do not go together with the others.
func (image *Image) EffectiveConfigs(settings *config.Broker) (*config.Broker, error) {
	effective, err := settings.With(image.BrokerConfigs(AllBrokers), image.BrokerConfigs(image.brokerName()))
	if err != nil {
		return nil, fmt.Errorf("settings of this start do not go with those that were set at run time: %w; "+
			"start with others, or as before and change those set at run time first", err)
	}
	return effective, nil
}

// SameBrokerConfigs says whether both images set the same for brokers at run time.
func (image *Image) SameBrokerConfigs(other *Image) bool {
	return maps.EqualFunc(image.brokerConfigs, other.brokerConfigs, maps.Equal)
}

// CheckBrokerName returns an ErrInvalidRequest unless name is this broker's id.
func (image *Image) CheckBrokerName(name string) error {
	if name != image.brokerName() {
		return fmt.Errorf("%w: broker %q, expected %d", ErrInvalidRequest, name, image.nodeID)
	}
	return nil
}

func (image *Image) brokerName() string { return strconv.Itoa(int(image.nodeID)) }
