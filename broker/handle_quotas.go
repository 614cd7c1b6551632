package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/quota"
)

// DescribeClientQuotas 0-1, AlterClientQuotas 0-1 (KIP-546). What quotas do is in throttle.go.

// describeClientQuotas lists the quotas of all entities that match the request.
func (b *Broker) describeClientQuotas(_ *call, req *kmsg.DescribeClientQuotasRequest) (*kmsg.DescribeClientQuotasResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	filter, err := newQuotaFilter(req)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
		return resp, nil
	}
	limits := b.controller.image().Quotas()
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{} // null means that there was an error
	for _, entity := range limits.Entities() {
		if filter.matches(entity) {
			resp.Entries = append(resp.Entries, describedQuota(entity, limits.Of(entity)))
		}
	}
	return resp, nil
}

// quotaFilter says which entities somebody asks about: those that have all of its parts, and with strict no others.
type quotaFilter struct {
	strict bool
	parts  map[string]quotaMatch // by type
}

// quotaMatch is what a part of an entity must be.
type quotaMatch struct {
	any  bool
	name *string // unless any; nil: the default
}

func newQuotaFilter(req *kmsg.DescribeClientQuotasRequest) (quotaFilter, error) {
	f := quotaFilter{strict: req.Strict, parts: map[string]quotaMatch{}}
	for _, component := range req.Components {
		kind, match := component.EntityType, component.Match
		switch kind {
		case quota.TypeUser, quota.TypeClientID, quota.TypeIP:
		case "":
			return f, fmt.Errorf("%w: an entity type is empty", metadata.ErrInvalidRequest)
		default:
			return f, fmt.Errorf("%w: unknown entity type %q", kerr.UnsupportedVersion, kind)
		}
		if _, twice := f.parts[kind]; twice {
			return f, fmt.Errorf("%w: %s comes twice in the filter", metadata.ErrInvalidRequest, kind)
		}
		exact := component.MatchType == kmsg.QuotasMatchTypeExact
		switch component.MatchType {
		case kmsg.QuotasMatchTypeExact, kmsg.QuotasMatchTypeDefault, kmsg.QuotasMatchTypeAny:
		default:
			return f, fmt.Errorf("%w: unknown match type %d", metadata.ErrInvalidRequest, component.MatchType)
		}
		if exact != (match != nil) {
			return f, fmt.Errorf("%w: %s needs a name to match exactly, and only then", metadata.ErrInvalidRequest, kind)
		}
		f.parts[kind] = quotaMatch{any: component.MatchType == kmsg.QuotasMatchTypeAny, name: match}
	}
	if _, ip := f.parts[quota.TypeIP]; ip && len(f.parts) > 1 {
		return f, fmt.Errorf("%w: an ip has its quotas alone, not together with a user or a client-id", metadata.ErrInvalidRequest)
	}
	return f, nil
}

func (f *quotaFilter) matches(entity quota.Entity) bool {
	parts := entity.Parts()
	found := 0
	for _, part := range parts {
		if match, wanted := f.parts[part.Type]; wanted && match.matches(part.Name) {
			found++
		}
	}
	return found == len(f.parts) && (!f.strict || found == len(parts))
}

func (m quotaMatch) matches(name *string) bool {
	switch {
	case m.any:
		return true
	case m.name == nil || name == nil:
		return m.name == name
	}
	return *m.name == *name
}

func describedQuota(entity quota.Entity, values quota.Values) kmsg.DescribeClientQuotasResponseEntry {
	entry := kmsg.NewDescribeClientQuotasResponseEntry()
	for _, part := range entity.Parts() {
		e := kmsg.NewDescribeClientQuotasResponseEntryEntity()
		e.Type, e.Name = part.Type, part.Name
		entry.Entity = append(entry.Entity, e)
	}
	for kind, value := range values {
		if value > 0 {
			v := kmsg.NewDescribeClientQuotasResponseEntryValue()
			v.Key, v.Value = quota.Kind(kind).String(), value
			entry.Values = append(entry.Values, v)
		}
	}
	return entry
}

// alterClientQuotas sets and removes quotas; each entity's changes are made as a whole or not at all.
func (b *Broker) alterClientQuotas(c *call, req *kmsg.AlterClientQuotasRequest) (*kmsg.AlterClientQuotasResponse, error) {
	changes := make([]metadata.QuotaChange, len(req.Entries))
	for i := range req.Entries {
		for _, e := range req.Entries[i].Entity {
			changes[i].Entity = append(changes[i].Entity, quota.Part{Type: e.Type, Name: e.Name})
		}
		for _, op := range req.Entries[i].Ops {
			changes[i].Ops = append(changes[i].Ops, metadata.QuotaOp{Key: op.Key, Value: op.Value, Remove: op.Remove})
		}
	}
	errs := make([]error, len(changes))
	decide := func(image *metadata.Image) (records []metadata.Record, err error) {
		records, errs = image.ChangeQuotas(changes)
		return records, nil
	}
	var err error
	if req.ValidateOnly {
		_, err = decide(b.controller.image())
	} else {
		err = b.controller.change(c.ctx, decide)
	}

	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	for i := range req.Entries {
		entry := kmsg.NewAlterClientQuotasResponseEntry()
		if errs[i] == nil {
			errs[i] = err
		}
		entry.ErrorCode, entry.ErrorMessage = errorCode(errs[i]), errorMessage(errs[i])
		for _, part := range changes[i].Entity {
			e := kmsg.NewAlterClientQuotasResponseEntryEntity()
			e.Type, e.Name = part.Type, part.Name
			entry.Entity = append(entry.Entity, e)
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return resp, nil
}
