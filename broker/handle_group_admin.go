package broker

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/group"
)

// DescribeGroups 0-6, ListGroups 0-5, DeleteGroups 0-3 (KIP-229 deletion, KIP-430 operations, KIP-518 states,
// KIP-848 types, KIP-1043 unknown groups, KIP-1152).

const (
	// groupTypeClassic is the type of every group that is coordinated so far.
	groupTypeClassic = "classic"
	// groupDead is the state that a group which does not exist is described with.
	groupDead = "Dead"
	// operationsUnknown stands for authorized operations that were not asked for.
	operationsUnknown = math.MinInt32
	// groupOperations are read, delete, describe, describe configs and alter configs, as bits of AclOperation: what
	// everybody may do with a group while there are no ACLs.
	groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

	firstDescribeGroupsVersionNotFound = 6
)

// describeGroups describes groups with their members, each once. One that does not exist is dead.
func (b *Broker) describeGroups(c *call, req *kmsg.DescribeGroupsRequest) (*kmsg.DescribeGroupsResponse, error) {
	response := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range distinct(req.Groups, func(id *string) string { return *id }) {
		described := b.describeGroup(c, id)
		described.AuthorizedOperations = operationsUnknown
		if req.IncludeAuthorizedOperations && described.ErrorCode == 0 {
			described.AuthorizedOperations = groupOperations
		}
		response.Groups = append(response.Groups, described)
	}
	return response, nil
}

func (b *Broker) describeGroup(c *call, id string) kmsg.DescribeGroupsResponseGroup {
	described := kmsg.NewDescribeGroupsResponseGroup()
	described.Group = id
	d, err := askGroupNow(c.ctx, b.groups, id, func(s *group.State) *group.Description {
		if d, ok := s.Describe(id); ok {
			return &d
		}
		return nil
	})
	switch {
	case err != nil:
		described.ErrorCode = errorCode(err)
		return described
	case d == nil:
		described.State = groupDead
		if c.version >= firstDescribeGroupsVersionNotFound {
			message := fmt.Sprintf("Group %s not found.", id)
			described.ErrorCode, described.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		}
		return described
	}
	described.State = d.Phase.String()
	described.ProtocolType, described.Protocol = d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID = m.ID, nullable(m.InstanceID)
		member.ClientID, member.ClientHost = m.ClientID, m.ClientHost
		member.ProtocolMetadata, member.MemberAssignment = m.Metadata, m.Assignment
		described.Members = append(described.Members, member)
	}
	return described
}

// listGroups lists the groups in the states and of the types that are asked for.
func (b *Broker) listGroups(c *call, req *kmsg.ListGroupsRequest) (*kmsg.ListGroupsResponse, error) {
	response := req.ResponseKind().(*kmsg.ListGroupsResponse)
	classic := func(name string) bool { return strings.EqualFold(name, groupTypeClassic) }
	if len(req.TypesFilter) > 0 && !slices.ContainsFunc(req.TypesFilter, classic) {
		return response, nil
	}
	list, err := b.groups.list(c.ctx, slices.Clone(req.StatesFilter))
	if err != nil {
		response.ErrorCode = errorCode(err)
		return response, nil
	}
	for _, l := range list {
		listed := kmsg.NewListGroupsResponseGroup()
		listed.Group, listed.ProtocolType = l.Group, l.ProtocolType
		listed.GroupState, listed.GroupType = l.Phase.String(), groupTypeClassic
		response.Groups = append(response.Groups, listed)
	}
	return response, nil
}

// deleteGroups removes empty groups with their offsets.
func (b *Broker) deleteGroups(c *call, req *kmsg.DeleteGroupsRequest) (*kmsg.DeleteGroupsResponse, error) {
	response := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, id := range req.Groups {
		code, err := askGroupNow(c.ctx, b.groups, id, func(s *group.State) group.Code { return s.Delete(id) })
		deleted := kmsg.NewDeleteGroupsResponseGroup()
		deleted.Group, deleted.ErrorCode = id, groupCode(code, err)
		deleted.ErrorMessage = errorMessage(kerr.ErrorForCode(deleted.ErrorCode))
		response.Groups = append(response.Groups, deleted)
	}
	return response, nil
}
