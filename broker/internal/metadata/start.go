package metadata

// Registration returns the record of a further start of the broker, in a new epoch.
func (image *Image) Registration(incarnation [16]byte) Record {
	return image.registration(image.brokerEpoch+1, incarnation)
}

func (image *Image) registration(epoch int64, incarnation [16]byte) Record {
	return &RegisterBrokerRecord{
		BrokerID:      image.nodeID,
		IncarnationID: incarnation,
		BrokerEpoch:   epoch,
		EndPoints:     []EndPoint{},
		Features:      []Feature{},
	}
}

// ProducerIDs returns the record that takes count producer ids from NextProducerID on.
func (image *Image) ProducerIDs(count int32) Record {
	return &ProducerIDsRecord{
		BrokerID:       image.nodeID,
		BrokerEpoch:    image.brokerEpoch,
		NextProducerID: image.nextProducerID + int64(count),
	}
}
