package group

import "encoding/binary"

// subscriptions is the set of topics that the members of a consumer group have subscribed to; nil if it is not known,
// because the members speak another protocol or their metadata does not parse.
func (g *group) subscriptions() map[string]struct{} {
	if g.protocolType != consumerProtocolType {
		return nil
	}
	topics := make(map[string]struct{})
	if len(g.members) == 0 {
		return topics
	}
	if g.protocol == "" {
		return nil
	}
	for _, m := range g.members {
		if !subscribedTopics(m.metadata(g.protocol), topics) {
			return nil
		}
	}
	return topics
}

// subscribes says whether the group reads the topic. A consumer group whose subscriptions are not known is taken to
// read everything.
func (g *group) subscribes(topic string) bool {
	if g.subscribed == nil {
		return g.protocolType == consumerProtocolType
	}
	_, ok := g.subscribed[topic]
	return ok
}

// subscribedTopics adds the topics of one consumer protocol subscription to the set: int16 version, int32 count, and
// count strings of int16 length. What later versions add behind them is not needed here.
func subscribedTopics(b []byte, into map[string]struct{}) bool {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return false
	}
	count := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	for range max(count, 0) {
		if len(b) < 2 {
			return false
		}
		length := int(binary.BigEndian.Uint16(b))
		if length > len(b)-2 {
			return false
		}
		into[string(b[2:2+length])] = struct{}{}
		b = b[2+length:]
	}
	return true
}
