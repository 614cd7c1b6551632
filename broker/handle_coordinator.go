package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator 0-5 (KIP-699 several keys, KIP-890). Every group and every transaction is coordinated by this broker.

// Values of FindCoordinator's coordinator type.
const (
	coordinatorTypeGroup       int8 = 0
	coordinatorTypeTransaction int8 = 1
)

// findCoordinator names the broker that coordinates a group, or the transactions of a transactional id.
func (b *Broker) findCoordinator(c *call, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	response := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	keys := req.CoordinatorKeys
	if c.version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	for _, key := range keys {
		found := b.coordinatorOf(c, req.CoordinatorType, key)
		if c.version >= 4 {
			response.Coordinators = append(response.Coordinators, found)
			continue
		}
		response.ErrorCode, response.ErrorMessage = found.ErrorCode, found.ErrorMessage
		response.NodeID, response.Host, response.Port = found.NodeID, found.Host, found.Port
	}
	return response, nil
}

func (b *Broker) coordinatorOf(c *call, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	found.Key, found.NodeID, found.Port = key, -1, -1
	if err := b.checkCoordinator(c, kind); err != nil {
		found.ErrorCode = errorCode(err)
		found.ErrorMessage = errorMessage(err)
		return found
	}
	found.NodeID = b.controller.image().NodeID()
	found.Host, found.Port = b.advertised(c.listener)
	return found
}

// checkCoordinator makes sure that there is a coordinator of that kind.
func (b *Broker) checkCoordinator(c *call, kind int8) error {
	var err error
	switch kind {
	case coordinatorTypeGroup:
		_, err = b.groups.available(c.ctx)
	case coordinatorTypeTransaction:
		_, err = b.transactions.available(c.ctx)
	default:
		err = fmt.Errorf("%w: coordinator type %d is not served", kerr.InvalidRequest, kind)
	}
	return err
}
