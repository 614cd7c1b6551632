package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeAcls 1-3, CreateAcls 1-3 and DeleteAcls 1-3 (KIP-140, KIP-290), as a broker without an authorizer answers them.

// errNoAuthorizer is said in Kafka's words, which tools look for.
var errNoAuthorizer = refused(kerr.SecurityDisabled, "No Authorizer is configured on the broker")

func (b *Broker) describeACLs(c *call, req *kmsg.DescribeACLsRequest) (*kmsg.DescribeACLsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	resp.ErrorCode, resp.ErrorMessage = errorCode(errNoAuthorizer), errorMessage(errNoAuthorizer)
	return resp, nil
}

func (b *Broker) createACLs(c *call, req *kmsg.CreateACLsRequest) (*kmsg.CreateACLsResponse, error) {
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	for range req.Creations {
		result := kmsg.NewCreateACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = errorCode(errNoAuthorizer), errorMessage(errNoAuthorizer)
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}

func (b *Broker) deleteACLs(c *call, req *kmsg.DeleteACLsRequest) (*kmsg.DeleteACLsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for range req.Filters {
		result := kmsg.NewDeleteACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = errorCode(errNoAuthorizer), errorMessage(errNoAuthorizer)
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}
