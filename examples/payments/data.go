package main

import (
	"fmt"
	"math/rand/v2"
)

// Transfer moves money from one account to another.
type Transfer struct {
	ID    int64  `json:"id"`
	From  string `json:"from"`
	To    string `json:"to"`
	Cents int64  `json:"cents"`
}

// Account is an account after a posting.
type Account struct {
	Cents    int64 `json:"cents"`
	Postings int64 `json:"postings"` // how many there were, this one included
}

const accounts = 500

// transfer returns transfer i: the same seed, the same transfers. Some accounts are busier than others.
func transfer(seed uint64, i int64) Transfer {
	random := rand.New(rand.NewPCG(seed, uint64(i)))
	from := int(random.Float64() * random.Float64() * accounts)
	to := (from + 1 + random.IntN(accounts-1)) % accounts
	return Transfer{ID: i, From: accountName(from), To: accountName(to), Cents: 1 + random.Int64N(100_000)}
}

func accountName(number int) string { return fmt.Sprintf("account-%03d", number) }

// postAtOnce is what the topology is held against: one loop over all transfers.
func postAtOnce(seed uint64, count int64) map[string]Account {
	balances := map[string]Account{}
	for i := range count {
		t := transfer(seed, i)
		balances[t.From] = post(t.From, -t.Cents, balances[t.From])
		balances[t.To] = post(t.To, t.Cents, balances[t.To])
	}
	return balances
}
