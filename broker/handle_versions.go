package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions 0-5 (KIP-35, KIP-511, KIP-584, KIP-1242).

// firstVersionWithZeroFeatures is the first version of ApiVersions whose clients accept a feature with minimum 0.
const firstVersionWithZeroFeatures = 4

// apiVersions tells a client what it may send. The connection answers a version that is too high by itself, since
// the request cannot be decoded.
func (b *Broker) apiVersions(c *call, req *kmsg.ApiVersionsRequest) (*kmsg.ApiVersionsResponse, error) {
	response := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if c.version >= 3 && !(validSoftwareName(req.ClientSoftwareName) && validSoftwareName(req.ClientSoftwareVersion)) {
		response.ErrorCode = kerr.InvalidRequest.Code
		return response, nil
	}
	if code := b.checkIdentity(req); code != 0 {
		response.ErrorCode = code
		return response, nil
	}
	for _, a := range b.apis {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.advertisedMin(), a.max
		response.ApiKeys = append(response.ApiKeys, k)
	}
	for _, f := range features {
		if f.min == 0 && c.version < firstVersionWithZeroFeatures {
			continue
		}
		s := kmsg.NewApiVersionsResponseSupportedFeature()
		s.Name, s.MinVersion, s.MaxVersion = f.name, f.min, f.max
		response.SupportedFeatures = append(response.SupportedFeatures, s)
	}
	// In this order: levels that are newer than their epoch are told once more, older ones would be kept.
	response.FinalizedFeaturesEpoch = b.controller.imageEnd()
	image := b.controller.image()
	for _, f := range features {
		level := f.finalized(image)
		if level == 0 {
			continue
		}
		finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
		finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.name, level, level
		response.FinalizedFeatures = append(response.FinalizedFeatures, finalized)
	}
	return response, nil
}

// checkIdentity returns an error code unless the client means this broker, or does not say whom it means (KIP-1242).
func (b *Broker) checkIdentity(req *kmsg.ApiVersionsRequest) int16 {
	knowsCluster, knowsNode := req.ClusterID != nil, req.NodeID >= 0
	image := b.controller.image()
	switch {
	case knowsCluster != knowsNode:
		return kerr.InvalidRequest.Code
	case knowsCluster && (*req.ClusterID != image.ClusterID() || req.NodeID != image.NodeID()):
		return kerr.RebootstrapRequired.Code
	}
	return 0
}

// unsupportedApiVersions answers an ApiVersions request of a version that is not known: in version 0, with the range
// that is.
func unsupportedApiVersions(a *api) *kmsg.ApiVersionsResponse {
	response := kmsg.NewPtrApiVersionsResponse()
	response.ErrorCode = kerr.UnsupportedVersion.Code
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.advertisedMin(), a.max
	response.ApiKeys = append(response.ApiKeys, k)
	return response
}

// validSoftwareName reports whether s is [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? (KIP-511).
func validSoftwareName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inside := i > 0 && i < len(s)-1
		if !alphanumeric && !(inside && (c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}
