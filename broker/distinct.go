package broker

// distinct returns the elements of list with different keys, each at its first mention. What is answered about one
// thing may be thousands of times as large as its mention in a request: repeating it must not repeat the answer.
func distinct[E any, K comparable](list []E, key func(*E) K) []E {
	seen := make(map[K]struct{}, len(list))
	var kept []E
	for i := range list {
		k := key(&list[i])
		if _, again := seen[k]; !again {
			seen[k] = struct{}{}
			kept = append(kept, list[i])
		}
	}
	return kept
}
