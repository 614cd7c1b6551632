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
	finalized func(*metadata.Image) int16 // the level in force; 0: none, as Kafka has it
}

// features are what the broker knows of, sorted by name. metadata.version is that of the records in the metadata log.
// Clients act on transaction.version alone: below 2 they use the older transaction protocol.
var features = []feature{
	{metadata.FeatureMetadata, metadata.Version, metadata.Version, func(*metadata.Image) int16 { return metadata.Version }},
	{metadata.FeatureTransaction, 0, metadata.TransactionVersionMax, (*metadata.Image).TransactionVersion},
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

const (
	// firstFeatureVersionTyped is the first version of UpdateFeatures with upgrade types, and with validate only.
	firstFeatureVersionTyped = 1
	// featureResultVersion is the last version of UpdateFeatures that answers about each feature. Either all are updated
	// or none.
	featureResultVersion = 1
)

// updateFeatures sets levels of features.
func (b *Broker) updateFeatures(c *call, req *kmsg.UpdateFeaturesRequest) (*kmsg.UpdateFeaturesResponse, error) {
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	err := b.controller.change(c.ctx, func(image *metadata.Image) ([]metadata.Record, error) {
		var records []metadata.Record
		for i := range req.FeatureUpdates {
			update := &req.FeatureUpdates[i]
			if err := checkFeatureUpdate(image, c.version, update); err != nil {
				return nil, err
			}
			if update.Feature == metadata.FeatureTransaction {
				records = image.SetTransactionVersion(update.MaxVersionLevel)
			}
		}
		if c.version >= firstFeatureVersionTyped && req.ValidateOnly {
			return nil, nil
		}
		return records, nil
	})
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
		return resp, nil
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
func checkFeatureUpdate(image *metadata.Image, version int16, update *kmsg.UpdateFeaturesRequestFeatureUpdate) error {
	f := featureNamed(update.Feature)
	lowers := update.UpgradeType > featureUpgrade
	if version < firstFeatureVersionTyped {
		lowers = update.AllowDowngrade
	}
	reason := ""
	switch {
	case f == nil:
		reason = "this broker does not know the feature"
	case version >= firstFeatureVersionTyped && (update.UpgradeType < featureUpgrade || update.UpgradeType > featureUnsafeDowngrade):
		reason = fmt.Sprintf("upgrade type %d", update.UpgradeType)
	case update.MaxVersionLevel < f.min || update.MaxVersionLevel > f.max:
		reason = fmt.Sprintf("this broker supports %d to %d", f.min, f.max)
	case update.MaxVersionLevel < f.finalized(image) && !lowers:
		reason = fmt.Sprintf("level %d is in force, and this is no downgrade", f.finalized(image))
	case update.MaxVersionLevel > f.finalized(image) && lowers:
		reason = fmt.Sprintf("level %d is in force, and this is a downgrade", f.finalized(image))
	default:
		return nil
	}
	return refused(kerr.InvalidUpdateVersion, "no feature was updated: %q cannot get level %d: %s", update.Feature, update.MaxVersionLevel, reason)
}
