package consumer

import "time"

// pauseAfter is how long all fetching waits for a queue that is full before its partition is fetched no more. A worker that is only
// a little slower than the broker has made room by then: pausing a partition throws away what is already fetched of it, and
// fetching it again waits for the fetch that is under way.
const pauseAfter = 100 * time.Millisecond

// regulate pauses the fetching of partitions that Pause was called for or whose queues stay full, and resumes it when half of a
// queue is done. It returns whether there may be fetched at all now.
func (g *Group) regulate(now time.Time) (fetch bool) {
	pause, resume := map[string][]int32{}, map[string][]int32{}
	fetch = true
	for name, p := range g.partitions {
		limit := g.options.QueueBytes
		if p.paused {
			limit /= 2
		}
		held, full := p.pressure(limit)
		switch {
		case !full:
			p.fullSince = time.Time{}
		case p.fullSince.IsZero():
			p.fullSince = now
		}
		lasting := full && now.Sub(p.fullSince) >= pauseAfter
		wanted := held || lasting || full && p.paused
		switch {
		case wanted && !p.paused:
			pause[name.Topic] = append(pause[name.Topic], name.Partition)
		case !wanted && p.paused:
			resume[name.Topic] = append(resume[name.Topic], name.Partition)
		}
		p.paused = wanted
		fetch = fetch && (p.paused || !full)
	}
	if len(pause) > 0 {
		g.client.PauseFetchPartitions(pause)
	}
	if len(resume) > 0 {
		g.client.ResumeFetchPartitions(resume)
	}
	return fetch
}
