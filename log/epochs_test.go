package log

import (
	"slices"
	"testing"
)

func TestEndOffsetOfEpoch(t *testing.T) {
	e := epochs{{2, 0}, {4, 10}, {7, 25}}
	tests := []struct {
		name  string
		asked int32
		epoch int32
		end   int64
	}{
		{"undefined", UndefinedEpoch, UndefinedEpoch, UndefinedOffset},
		{"older than all", 1, 1, 0},
		{"first", 2, 2, 10},
		{"between two: the older one", 3, 2, 10},
		{"second", 4, 4, 25},
		{"between two again", 6, 4, 25},
		{"latest ends at the log end", 7, 7, 40},
		{"newer than all", 8, UndefinedEpoch, UndefinedOffset},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if epoch, end := e.endOffset(test.asked, 40); epoch != test.epoch || end != test.end {
				t.Errorf("epoch %d: (%d, %d), expected (%d, %d)", test.asked, epoch, end, test.epoch, test.end)
			}
		})
	}
	if epoch, end := (epochs)(nil).endOffset(0, 40); epoch != UndefinedEpoch || end != UndefinedOffset {
		t.Errorf("empty: (%d, %d)", epoch, end)
	}
}

func TestEpochsAreTrimmed(t *testing.T) {
	e := epochs{{2, 0}, {4, 10}, {7, 25}}
	tests := []struct {
		name     string
		got      epochs
		expected epochs
	}{
		{"end between", e.truncateEnd(20), epochs{{2, 0}, {4, 10}}},
		{"end at a beginning", e.truncateEnd(10), epochs{{2, 0}}},
		{"end beyond", e.truncateEnd(99), e},
		{"end before all", e.truncateEnd(0), epochs{}},
		{"start between", e.truncateStart(12), epochs{{4, 12}, {7, 25}}},
		{"start at a beginning", e.truncateStart(10), epochs{{4, 10}, {7, 25}}},
		{"start before all", e.truncateStart(0), e},
		{"start in the last", e.truncateStart(99), epochs{{7, 99}}},
		{"older epoch", e.assign(6, 30), e},
		{"same epoch", e.assign(7, 30), e},
		{"newer epoch", e.assign(8, 30), epochs{{2, 0}, {4, 10}, {7, 25}, {8, 30}}},
		{"newer epoch in place of one without records", e.assign(8, 25), epochs{{2, 0}, {4, 10}, {8, 25}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !slices.Equal(test.got, test.expected) {
				t.Errorf("%v, expected %v", test.got, test.expected)
			}
		})
	}
	if !slices.Equal(e, epochs{{2, 0}, {4, 10}, {7, 25}}) {
		t.Errorf("the original became %v", e)
	}
}

func TestEpochFileIsKafkas(t *testing.T) {
	e := epochs{{0, 0}, {3, 17}}
	if text := string(e.encode()); text != "0\n2\n0 0\n3 17\n" {
		t.Errorf("encoded %q", text)
	}
	for text, ok := range map[string]bool{
		"0\n2\n0 0\n3 17\n": true,
		"0\n0\n":            true,
		"":                  false,
		"0\n":               false,
		"1\n0\n":            false,
		"0\n2\n0 0\n":       false,
		"0\n1\n0\n":         false,
		"0\n1\n0 x\n":       false,
		"0\n2\n3 0\n3 5\n":  false,
		"0\n2\n3 5\n4 5\n":  false,
		"0\n1\n-1 5\n":      false,
	} {
		if _, err := decodeEpochs([]byte(text)); (err == nil) != ok {
			t.Errorf("decode %q: %v", text, err)
		}
	}
}
