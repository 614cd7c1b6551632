package broker

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListConfigResources 0-1 (KIP-714, KIP-1142).

// configResourceTypes are the kinds of resource that Kafka knows, in the order that it lists them in. Client metrics
// and groups have no settings here: none are listed.
var configResourceTypes = []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeGroupConfig, kmsg.ConfigResourceTypeClientMetrics,
	kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeTopic}

// listConfigResources lists what has settings. Version 0 asks for client metrics alone.
func (b *Broker) listConfigResources(c *call, req *kmsg.ListConfigResourcesRequest) (*kmsg.ListConfigResourcesResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	for _, kind := range req.ResourceTypes {
		if !slices.Contains(configResourceTypes, kmsg.ConfigResourceType(kind)) {
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			return resp, nil
		}
	}
	if req.Version == 0 {
		return resp, nil
	}
	for _, kind := range configResourceTypes {
		if len(req.ResourceTypes) > 0 && !slices.Contains(req.ResourceTypes, int8(kind)) {
			continue
		}
		for _, name := range b.configResources(kind) {
			resource := kmsg.NewListConfigResourcesResponseConfigResource()
			resource.Name, resource.Type = name, int8(kind)
			resp.ConfigResources = append(resp.ConfigResources, resource)
		}
	}
	return resp, nil
}

func (b *Broker) configResources(kind kmsg.ConfigResourceType) []string {
	image := b.controller.image()
	switch kind {
	case kmsg.ConfigResourceTypeBrokerLogger:
		if b.options.LogLevel == nil {
			return nil
		}
		return []string{strconv.Itoa(int(image.NodeID()))}
	case kmsg.ConfigResourceTypeBroker:
		return []string{strconv.Itoa(int(image.NodeID()))}
	case kmsg.ConfigResourceTypeTopic:
		names := make([]string, 0, len(image.Topics()))
		for _, t := range image.Topics() {
			names = append(names, t.Name)
		}
		return names
	}
	return nil
}
