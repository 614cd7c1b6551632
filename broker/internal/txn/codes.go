package txn

import "strconv"

// Code is a Kafka error code (protocol.Errors). The core speaks in codes because they are the domain's own words for
// what a producer did wrong; only the ones that it answers with have a name here.
//
// Old clients know some of them by another name. That is for the handlers: ProducerFenced is INVALID_PRODUCER_EPOCH to
// InitProducerId before version 4, to AddPartitionsToTxn, AddOffsetsToTxn and EndTxn before version 2, and always to
// Produce and TxnOffsetCommit; TransactionAbortable is INVALID_TXN_STATE to Produce before version 11 and to
// TxnOffsetCommit before version 4.
type Code int16

// The codes that the transaction coordinator answers with.
const (
	None                      Code = 0
	CoordinatorLoadInProgress Code = 14
	CoordinatorNotAvailable   Code = 15
	InvalidRequest            Code = 42
	InvalidTxnState           Code = 48
	InvalidProducerIDMapping  Code = 49
	InvalidTransactionTimeout Code = 50
	ConcurrentTransactions    Code = 51
	ProducerFenced            Code = 90
	TransactionalIDNotFound   Code = 105
	TransactionAbortable      Code = 120
)

var codeNames = map[Code]string{
	None:                      "NONE",
	CoordinatorLoadInProgress: "COORDINATOR_LOAD_IN_PROGRESS",
	CoordinatorNotAvailable:   "COORDINATOR_NOT_AVAILABLE",
	InvalidRequest:            "INVALID_REQUEST",
	InvalidTxnState:           "INVALID_TXN_STATE",
	InvalidProducerIDMapping:  "INVALID_PRODUCER_ID_MAPPING",
	InvalidTransactionTimeout: "INVALID_TRANSACTION_TIMEOUT",
	ConcurrentTransactions:    "CONCURRENT_TRANSACTIONS",
	ProducerFenced:            "PRODUCER_FENCED",
	TransactionalIDNotFound:   "TRANSACTIONAL_ID_NOT_FOUND",
	TransactionAbortable:      "TRANSACTION_ABORTABLE",
}

// String is the code's name in Kafka's documentation.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "code " + strconv.Itoa(int(c))
}
