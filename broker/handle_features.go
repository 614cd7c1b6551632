package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// UpdateFeatures 0-2 (KIP-584, KIP-1022).

// feature is a range of levels of something that brokers of a cluster agree on.
type feature struct {
	name      string
	min, max  int16
	finalized int16 // the level in force; 0: none, as Kafka has it
}

// features are what the broker knows of, sorted by name. metadata.version is that of the records in the metadata log.
// Clients act on transaction.version alone: without a finalized level they use the first transaction protocol.
var features = []feature{
	{name: "metadata.version", min: metadata.Version, max: metadata.Version, finalized: metadata.Version},
	{name: "transaction.version", min: 0, max: 0},
}

func featureNamed(name string) *feature {
	for i := range features {
		if features[i].name == name {
			return &features[i]
		}
	}
	return nil
}

// Values of an update's UpgradeType (KIP-778).
const (
	featureUpgrade         = 1
	featureUnsafeDowngrade = 3
)

// featureResultVersion is the last version of UpdateFeatures that answers about each feature. Either all are updated
// or none.
const featureResultVersion = 1

// updateFeatures takes the levels that are in force already, which are the only ones there are.
func (b *Broker) updateFeatures(c *call, req *kmsg.UpdateFeaturesRequest) (*kmsg.UpdateFeaturesResponse, error) {
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	for i := range req.FeatureUpdates {
		if err := checkFeatureUpdate(req.Version, &req.FeatureUpdates[i]); err != nil {
			resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
			return resp, nil
		}
	}
	if req.Version > featureResultVersion {
		return resp, nil
	}
	for _, update := range req.FeatureUpdates {
		result := kmsg.NewUpdateFeaturesResponseResult()
		result.Feature = update.Feature
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}

// checkFeatureUpdate returns why a feature cannot get the level that is asked for.
func checkFeatureUpdate(version int16, update *kmsg.UpdateFeaturesRequestFeatureUpdate) error {
	f := featureNamed(update.Feature)
	reason := ""
	switch {
	case f == nil:
		reason = "this broker does not know the feature"
	case version >= 1 && (update.UpgradeType < featureUpgrade || update.UpgradeType > featureUnsafeDowngrade):
		reason = fmt.Sprintf("upgrade type %d", update.UpgradeType)
	case update.MaxVersionLevel < f.min || update.MaxVersionLevel > f.max:
		reason = fmt.Sprintf("this broker supports %d to %d", f.min, f.max)
	default:
		return nil
	}
	return refused(kerr.InvalidUpdateVersion, "no feature was updated: %q cannot get level %d: %s", update.Feature, update.MaxVersionLevel, reason)
}
