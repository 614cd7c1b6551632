package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestACLsNeedAnAuthorizer(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	const message = "No Authorizer is configured on the broker"
	for version := int16(1); version <= 3; version++ {
		describe, create, remove := kmsg.NewPtrDescribeACLsRequest(), kmsg.NewPtrCreateACLsRequest(), kmsg.NewPtrDeleteACLsRequest()
		create.Creations = make([]kmsg.CreateACLsRequestCreation, 2)
		remove.Filters = make([]kmsg.DeleteACLsRequestFilter, 2)
		for _, r := range []kmsg.Request{describe, create, remove} {
			r.SetVersion(version)
		}
		described := c.ask(describe).(*kmsg.DescribeACLsResponse)
		created := c.ask(create).(*kmsg.CreateACLsResponse).Results
		removed := c.ask(remove).(*kmsg.DeleteACLsResponse).Results
		if described.ErrorCode != kerr.SecurityDisabled.Code || *described.ErrorMessage != message {
			t.Errorf("version %d: %+v", version, described)
		}
		if len(created) != 2 || created[1].ErrorCode != kerr.SecurityDisabled.Code || *created[1].ErrorMessage != message {
			t.Errorf("version %d: %+v", version, created)
		}
		if len(removed) != 2 || removed[1].ErrorCode != kerr.SecurityDisabled.Code || *removed[1].ErrorMessage != message {
			t.Errorf("version %d: %+v", version, removed)
		}
	}
}
