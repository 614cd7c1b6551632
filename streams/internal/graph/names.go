package graph

// KafkaTopic is the name that a topic of the topology has in Kafka: the user's own, or for an internal one
// "<app>-<topic>-repartition".
func (t *Topology) KafkaTopic(app, topic string) string {
	if described := t.Topic(topic); described != nil && described.Internal {
		return RepartitionTopic(app, topic)
	}
	return topic
}

// RepartitionTopic is the name in Kafka of an internal topic.
func RepartitionTopic(app, topic string) string { return app + "-" + topic + "-repartition" }

// ChangelogTopic is the name of the topic in which a store's changes are.
func ChangelogTopic(app, store string) string { return app + "-" + store + "-changelog" }

// RegistryTopic is the name of the topic in which an application's topology is stored.
func RegistryTopic(app string) string { return app + "-topology" }
