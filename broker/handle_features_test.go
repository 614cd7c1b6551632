package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

func TestFeatureUpdatesThatAreRefusedChangeNothing(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	type update = kmsg.UpdateFeaturesRequestFeatureUpdate
	same := update{Feature: "metadata.version", MaxVersionLevel: 7, UpgradeType: 1}
	lower := update{Feature: "transaction.version", MaxVersionLevel: 1, UpgradeType: 2, AllowDowngrade: true}
	for name, test := range map[string]struct {
		updates []update
		code    int16
		since   int16
	}{
		"none":             {nil, 0, 0},
		"in force":         {[]update{same, {Feature: "transaction.version", MaxVersionLevel: 2, UpgradeType: 2}}, 0, 0},
		"unknown":          {[]update{lower, {Feature: "nope.version", MaxVersionLevel: 1, UpgradeType: 1}}, kerr.InvalidUpdateVersion.Code, 0},
		"higher":           {[]update{{Feature: "transaction.version", MaxVersionLevel: 3, UpgradeType: 1}}, kerr.InvalidUpdateVersion.Code, 0},
		"not allowed":      {[]update{{Feature: "transaction.version", MaxVersionLevel: 1, UpgradeType: 1}}, kerr.InvalidUpdateVersion.Code, 0},
		"lower":            {[]update{{Feature: "metadata.version", MaxVersionLevel: 6, UpgradeType: 3, AllowDowngrade: true}}, kerr.InvalidUpdateVersion.Code, 0},
		"negative":         {[]update{{Feature: "transaction.version", MaxVersionLevel: -1, UpgradeType: 1}}, kerr.InvalidUpdateVersion.Code, 0},
		"type of its own":  {[]update{{Feature: "metadata.version", MaxVersionLevel: 7, UpgradeType: 9}}, kerr.InvalidUpdateVersion.Code, 1},
		"only asked about": {[]update{lower}, 0, 1},
	} {
		for version := test.since; version <= 2; version++ {
			r := kmsg.NewPtrUpdateFeaturesRequest()
			r.SetVersion(version)
			r.FeatureUpdates, r.ValidateOnly = test.updates, true
			answer := c.ask(r).(*kmsg.UpdateFeaturesResponse)
			results := 0
			if test.code == 0 && version < 2 {
				results = len(test.updates)
			}
			if answer.ErrorCode != test.code || (answer.ErrorMessage == nil) != (test.code == 0) || len(answer.Results) != results {
				t.Errorf("%s in version %d: %+v", name, version, answer)
			}
		}
	}
	if level := b.controller.image().TransactionVersion(); level != 2 {
		t.Errorf("transaction.version is %d", level)
	}
}

// TestTransactionVersionIsSetAndStays: clients are told the level in force, and that it is news; a restart keeps it.
func TestTransactionVersionIsSetAndStays(t *testing.T) {
	mem := disk.NewMem()
	epoch, before := int64(-1), int16(2)
	for version, level := range []int16{1, 0, 2} {
		b, dial := brokerOn(t, mem, nil)
		c := dial()
		for _, want := range []int16{before, level} {
			if want != before {
				r := kmsg.NewPtrUpdateFeaturesRequest()
				r.SetVersion(int16(version))
				update := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
				update.Feature, update.MaxVersionLevel, update.UpgradeType = "transaction.version", level, 1
				if level < before {
					update.UpgradeType, update.AllowDowngrade = 2, true
				}
				r.FeatureUpdates = append(r.FeatureUpdates, update)
				if answer := c.ask(r).(*kmsg.UpdateFeaturesResponse); answer.ErrorCode != 0 {
					t.Fatalf("to %d: %+v", level, answer)
				}
			}
			answer := c.ask(apiVersionsRequest(4)).(*kmsg.ApiVersionsResponse)
			got := int16(0)
			for _, f := range answer.FinalizedFeatures {
				if f.Name == "transaction.version" {
					got = f.MaxVersionLevel
				}
			}
			if got != want || answer.FinalizedFeaturesEpoch <= epoch {
				t.Errorf("transaction.version %d in epoch %d, want %d in one after %d", got, answer.FinalizedFeaturesEpoch, want, epoch)
			}
			epoch = answer.FinalizedFeaturesEpoch
		}
		before = level
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
