package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeUserScramCredentials 0 (KIP-554): no user has a password, and tools that describe users are told so. Passwords
// cannot be set (AlterUserScramCredentials): one that nobody is asked for would look like protection.

func (b *Broker) describeUsers(c *call, req *kmsg.DescribeUserSCRAMCredentialsRequest) (*kmsg.DescribeUserSCRAMCredentialsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	mentions := map[string]int{}
	for _, user := range req.Users {
		mentions[user.Name]++
	}
	for _, user := range distinct(req.Users, func(u *kmsg.DescribeUserSCRAMCredentialsRequestUser) string { return u.Name }) {
		err := refused(kerr.ResourceNotFound, "Attempt to describe a user credential that does not exist: %s", user.Name)
		if mentions[user.Name] > 1 {
			err = refused(kerr.DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: %s", user.Name)
		}
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.User, result.ErrorCode, result.ErrorMessage = user.Name, errorCode(err), errorMessage(err)
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}
