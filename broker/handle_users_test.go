package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestNoUserHasAPassword(t *testing.T) {
	c := dial(t, startBroker(t, Options{}, nil))
	all := c.ask(kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()).(*kmsg.DescribeUserSCRAMCredentialsResponse)
	if all.ErrorCode != 0 || len(all.Results) != 0 {
		t.Errorf("asked for all users: %+v", all)
	}
	some := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	for _, name := range []string{"ada", "bob", "ada"} {
		some.Users = append(some.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: name})
	}
	results := c.ask(some).(*kmsg.DescribeUserSCRAMCredentialsResponse).Results
	if len(results) != 2 || results[0].User != "ada" || results[0].ErrorCode != kerr.DuplicateResource.Code ||
		results[1].User != "bob" || results[1].ErrorCode != kerr.ResourceNotFound.Code {
		t.Errorf("asked for ada twice and for bob: %+v", results)
	}
}
