package metadata

import (
	"fmt"

	"github.com/millrace/millrace/broker/internal/quota"
)

// quotaEntitiesMax bounds for how many entities quotas can be set.
const quotaEntitiesMax = 10_000

// QuotaChange asks for changes of one entity's quotas (KIP-546).
type QuotaChange struct {
	Entity []quota.Part
	Ops    []QuotaOp
}

// QuotaOp sets one quota of an entity, or removes it.
type QuotaOp struct {
	Key    string
	Value  float64
	Remove bool
}

// ChangeQuotas decides which quotas are set and removed. An error per change, in their order; each change is made
// as a whole or not at all.
//
// It refuses with quota.ErrInvalid an entity that has no quotas, a key that is not known and a value that is out of
// range, with ErrInvalidRequest an entity or a key that comes twice, and with ErrPolicy more than quotaEntitiesMax
// entities.
func (image *Image) ChangeQuotas(changes []QuotaChange) ([]Record, []error) {
	mentions := map[quota.Entity]int{}
	entities := make([]quota.Entity, len(changes))
	errs := make([]error, len(changes))
	for i := range changes {
		var err error
		if entities[i], err = quota.NewEntity(changes[i].Entity); err != nil {
			errs[i] = err
			continue
		}
		mentions[entities[i]]++
	}
	room := quotaEntitiesMax - image.quotas.Len()
	var all []Record
	for i := range changes {
		var records []Record
		switch {
		case errs[i] != nil:
			continue
		case mentions[entities[i]] > 1:
			errs[i] = fmt.Errorf("%w: %v is in the request more than once", ErrInvalidRequest, entities[i])
			continue
		}
		if records, errs[i] = image.changeQuota(entities[i], changes[i].Ops); len(records) == 0 {
			continue
		}
		if image.quotas.Of(entities[i]) == (quota.Values{}) {
			if room == 0 {
				errs[i] = fmt.Errorf("%w: %d entities have quotas", ErrPolicy, quotaEntitiesMax)
				continue
			}
			room--
		}
		all = append(all, records...)
	}
	return all, errs
}

// changeQuota returns the records that change one entity's quotas. What is as wanted already needs none.
func (image *Image) changeQuota(entity quota.Entity, ops []QuotaOp) ([]Record, error) {
	now := image.quotas.Of(entity)
	var records []Record
	seen := map[string]bool{}
	for _, op := range ops {
		if seen[op.Key] {
			return nil, fmt.Errorf("%w: %s is changed twice", ErrInvalidRequest, op.Key)
		}
		seen[op.Key] = true
		record := &ClientQuotaRecord{Entity: entity.Parts(), Key: op.Key, Remove: op.Remove}
		if op.Remove {
			if kind, known := quota.KindOf(op.Key); known && now[kind] != 0 {
				records = append(records, record)
			}
			continue
		}
		kind, err := quota.CheckValue(entity, op.Key, op.Value)
		if err != nil {
			return nil, err
		}
		if record.Value = op.Value; now[kind] != op.Value {
			records = append(records, record)
		}
	}
	return records, nil
}

// quotaRecords returns the records that set all of limits.
func quotaRecords(limits *quota.Limits) []Record {
	var records []Record
	for _, entity := range limits.Entities() {
		for kind, value := range limits.Of(entity) {
			if value > 0 {
				records = append(records, &ClientQuotaRecord{Entity: entity.Parts(), Key: quota.Kind(kind).String(), Value: value})
			}
		}
	}
	return records
}
