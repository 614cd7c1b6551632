package broker

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/metadata"
)

// DescribeConfigs 1-4 (KIP-226 sources and synonyms, KIP-569 types and documentation), AlterConfigs 0-2,
// IncrementalAlterConfigs 0-1 (KIP-339), for topics and for brokers
// at run time (KIP-226).

// describeConfigs answers what settings a topic or this broker has and where their values come from, about each
// resource once.
func (b *Broker) describeConfigs(c *call, req *kmsg.DescribeConfigsRequest) (*kmsg.DescribeConfigsResponse, error) {
	type resourceKey struct {
		kind kmsg.ConfigResourceType
		name string
	}
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	resources := distinct(req.Resources, func(r *kmsg.DescribeConfigsRequestResource) resourceKey {
		return resourceKey{r.ResourceType, r.ResourceName}
	})
	for i := range resources {
		wanted := &resources[i]
		resource := kmsg.NewDescribeConfigsResponseResource()
		resource.ResourceType, resource.ResourceName = wanted.ResourceType, wanted.ResourceName
		descriptions, err := b.describeResource(wanted)
		resource.ErrorCode, resource.ErrorMessage = errorCode(err), errorMessage(err)
		for j := range descriptions {
			if wantsSetting(wanted.ConfigNames, &descriptions[j]) {
				resource.Configs = append(resource.Configs, b.describedConfig(req, wanted.ResourceType, &descriptions[j]))
			}
		}
		resp.Resources = append(resp.Resources, resource)
	}
	return resp, nil
}

func (b *Broker) describeResource(wanted *kmsg.DescribeConfigsRequestResource) ([]config.Description, error) {
	switch wanted.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := metadata.CheckTopicName(wanted.ResourceName); err != nil {
			return nil, err
		}
		t := b.controller.image().Topic(wanted.ResourceName)
		if t == nil {
			return nil, fmt.Errorf("%w: %q", metadata.ErrUnknownTopic, wanted.ResourceName)
		}
		return b.controller.settings().DescribeTopic(t.Configs), nil
	case kmsg.ConfigResourceTypeBroker:
		if wanted.ResourceName == metadata.AllBrokers {
			return b.controller.settings().DescribeDefaults(), nil
		}
		if err := b.controller.image().CheckBrokerName(wanted.ResourceName); err != nil {
			return nil, err
		}
		return b.controller.settings().Describe(), nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		return b.describeLogger(wanted.ResourceName)
	}
	return nil, unsupportedResource(wanted.ResourceType)
}

func unsupportedResource(kind kmsg.ConfigResourceType) error {
	return fmt.Errorf("%w: resource type %d has no settings here", metadata.ErrInvalidRequest, kind)
}

// wantsSetting says whether a request for the settings with these names wants to see d. No names are all settings.
func wantsSetting(names []string, d *config.Description) bool {
	return len(names) == 0 || slices.Contains(names, d.Name)
}

func (b *Broker) describedConfig(req *kmsg.DescribeConfigsRequest, kind kmsg.ConfigResourceType, d *config.Description) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value = d.Name, d.Value
	c.Source, c.ConfigType = kmsg.ConfigSource(d.Source), kmsg.ConfigType(d.Kind)
	c.ReadOnly = kind == kmsg.ConfigResourceTypeBroker && !config.Dynamic(d.Name)
	if req.IncludeDocumentation {
		c.Documentation = kmsg.StringPtr(b.documentation(kind, d))
	}
	if !req.IncludeSynonyms {
		return c
	}
	for _, v := range d.Values {
		synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		synonym.Name, synonym.Value, synonym.Source = v.Name, &v.Value, kmsg.ConfigSource(v.Source)
		c.ConfigSynonyms = append(c.ConfigSynonyms, synonym)
	}
	return c
}

// sourceMark comes between a setting's documentation and where it was set, for which the protocol has no field.
const sourceMark = "\nSet by: "

func (b *Broker) documentation(kind kmsg.ConfigResourceType, d *config.Description) string {
	source := b.options.ConfigSources[d.Name]
	if kind != kmsg.ConfigResourceTypeBroker || d.Source != config.SourceStaticBroker || source == "" {
		return d.Doc
	}
	return d.Doc + sourceMark + source
}

// alterConfigs replaces all settings of each resource by the given ones.
func (b *Broker) alterConfigs(c *call, req *kmsg.AlterConfigsRequest) (*kmsg.AlterConfigsResponse, error) {
	changes := make([]resourceChange, len(req.Resources))
	for i, r := range req.Resources {
		changes[i] = resourceChange{kind: r.ResourceType, name: r.ResourceName, replaces: true}
		for _, v := range r.Configs {
			changes[i].values = append(changes[i].values, metadata.ConfigValue{Name: v.Name, Value: v.Value})
		}
	}
	b.changeResources(c, req.ValidateOnly, changes)

	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i := range changes {
		resource := kmsg.NewAlterConfigsResponseResource()
		resource.ResourceType, resource.ResourceName = changes[i].kind, changes[i].name
		resource.ErrorCode, resource.ErrorMessage = errorCode(changes[i].err), errorMessage(changes[i].err)
		resp.Resources = append(resp.Resources, resource)
	}
	return resp, nil
}

// incrementalAlterConfigs changes some settings of each resource and leaves the others.
func (b *Broker) incrementalAlterConfigs(c *call, req *kmsg.IncrementalAlterConfigsRequest) (*kmsg.IncrementalAlterConfigsResponse, error) {
	changes := make([]resourceChange, len(req.Resources))
	for i, r := range req.Resources {
		changes[i] = resourceChange{kind: r.ResourceType, name: r.ResourceName}
		for _, o := range r.Configs {
			changes[i].operations = append(changes[i].operations, metadata.ConfigChange{Name: o.Name, Op: metadata.ConfigOp(o.Op), Value: o.Value})
		}
	}
	b.changeResources(c, req.ValidateOnly, changes)

	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for i := range changes {
		resource := kmsg.NewIncrementalAlterConfigsResponseResource()
		resource.ResourceType, resource.ResourceName = changes[i].kind, changes[i].name
		resource.ErrorCode, resource.ErrorMessage = errorCode(changes[i].err), errorMessage(changes[i].err)
		resp.Resources = append(resp.Resources, resource)
	}
	return resp, nil
}

// resourceChange is what a request wants of one resource, and what came of it.
type resourceChange struct {
	kind       kmsg.ConfigResourceType
	name       string
	replaces   bool
	values     []metadata.ConfigValue  // all that the resource is to have, if the change replaces
	operations []metadata.ConfigChange // if it does not
	err        error
}

// decide returns the records of a change to a topic or a broker. settings are those that the broker goes by in image.
func (r *resourceChange) decide(settings *config.Broker, image *metadata.Image) ([]metadata.Record, error) {
	switch {
	case r.kind == kmsg.ConfigResourceTypeBroker && r.replaces:
		return image.ReplaceBrokerConfigs(settings, r.name, r.values)
	case r.kind == kmsg.ConfigResourceTypeBroker:
		return image.ChangeBrokerConfigs(settings, r.name, r.operations)
	case r.replaces:
		return image.ReplaceConfigs(settings, r.name, r.values)
	}
	return image.ChangeConfigs(settings, r.name, r.operations)
}

// changeResources changes the settings of all resources for which nothing stands against it, in one change. Each is
// decided on what those before it lead to.
func (b *Broker) changeResources(c *call, validateOnly bool, changes []resourceChange) {
	b.checkResources(changes)
	decide := func(image *metadata.Image) ([]metadata.Record, error) {
		var all []metadata.Record
		settings, err := image.EffectiveConfigs(b.config)
		if err != nil {
			return nil, err
		}
		for i := range changes {
			change := &changes[i]
			if change.err != nil || change.kind == kmsg.ConfigResourceTypeBrokerLogger {
				continue
			}
			var records []metadata.Record
			if records, change.err = change.decide(settings, image); len(records) == 0 {
				continue
			}
			if image, err = image.Apply(records...); err != nil {
				return nil, err
			}
			if change.kind == kmsg.ConfigResourceTypeBroker {
				if settings, err = image.EffectiveConfigs(b.config); err != nil {
					return nil, err
				}
			}
			all = append(all, records...)
		}
		return all, nil
	}
	var err error
	if validateOnly {
		_, err = decide(b.controller.image())
	} else {
		err = b.controller.change(c.ctx, decide)
	}
	for i := range changes {
		change := &changes[i]
		switch {
		case change.err != nil:
		case change.kind == kmsg.ConfigResourceTypeBrokerLogger:
			change.err = b.changeLogger(change.name, change.operations, validateOnly)
		default:
			change.err = err
		}
	}
}

// checkResources refuses resources that come twice and those without settings that can be changed.
func (b *Broker) checkResources(changes []resourceChange) {
	type identity struct {
		kind kmsg.ConfigResourceType
		name string
	}
	mentions := map[identity]int{}
	for _, change := range changes {
		mentions[identity{change.kind, change.name}]++
	}
	for i := range changes {
		change := &changes[i]
		logger := change.kind == kmsg.ConfigResourceTypeBrokerLogger && !change.replaces
		switch {
		case mentions[identity{change.kind, change.name}] > 1:
			change.err = fmt.Errorf("%w: each resource must appear at most once", metadata.ErrInvalidRequest)
		case change.kind == kmsg.ConfigResourceTypeTopic, change.kind == kmsg.ConfigResourceTypeBroker, logger:
		default:
			change.err = unsupportedResource(change.kind)
		}
	}
}
