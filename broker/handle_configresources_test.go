package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestListConfigResources(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	createTopic(t, b, "b", 1)
	c := dial(t, b)
	for i, test := range []struct {
		version int16
		types   []int8
		want    string
		code    int16
	}{
		{0, nil, "", 0},
		{1, nil, "4:1 2:a 2:b ", 0},
		{1, []int8{2, 2}, "2:a 2:b ", 0},
		{1, []int8{4}, "4:1 ", 0},
		{1, []int8{16, 32}, "", 0},
		{1, []int8{2, 5}, "", kerr.UnsupportedVersion.Code},
	} {
		r := kmsg.NewPtrListConfigResourcesRequest()
		r.SetVersion(test.version)
		r.ResourceTypes = test.types
		answer := c.ask(r).(*kmsg.ListConfigResourcesResponse)
		got := ""
		for _, resource := range answer.ConfigResources {
			got += fmt.Sprintf("%d:%s ", resource.Type, resource.Name)
		}
		if got != test.want || answer.ErrorCode != test.code {
			t.Errorf("%d: %q, error %d, want %q, error %d", i, got, answer.ErrorCode, test.want, test.code)
		}
	}
}
