package serde_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
	"pgregory.net/rapid"
)

type order struct {
	ID    string            `json:"id"`
	Cents int64             `json:"cents"`
	Tags  map[string]string `json:"tags,omitempty"`
	Note  []byte            `json:"note,omitempty"`
}

type id [16]byte

var (
	minutely = windows.Tumbling(time.Minute)
	session  = windows.Window{StartMs: 60_000, EndMs: 90_000}
)

// The formats are Kafka's: what its serializers write for the same values.
func TestFormatsAreKafkas(t *testing.T) {
	expect(t, serde.String, "grün", "6772c3bc6e")
	expect(t, serde.String, "", "")
	expect(t, serde.Bytes, []byte{0, 255}, "00ff")
	expect(t, serde.Int32, 258, "00000102")
	expect(t, serde.Int32, -1, "ffffffff")
	expect(t, serde.Int64, math.MinInt64, "8000000000000000")
	expect(t, serde.Int64, 258, "0000000000000102")
	expect(t, serde.Float64, 1.5, "3ff8000000000000")
	expect(t, serde.Float64, math.Inf(-1), "fff0000000000000")
	expect(t, serde.Bool, true, "01")
	expect(t, serde.Bool, false, "00")
	expect(t, serde.UUID[id](), id{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0},
		hex.EncodeToString([]byte("123e4567-e89b-12d3-a456-426614174000")))
	expect(t, serde.JSON[order](), order{ID: "a", Cents: 5}, hex.EncodeToString([]byte(`{"id":"a","cents":5}`)))
	expect(t, serde.Windowed(serde.String), windows.Key[string]{Key: "k", Window: session}, "6b"+"000000000000ea60"+"0000000000015f90")
	expect(t, serde.SessionWindowed(serde.String), windows.Key[string]{Key: "k", Window: session}, "6b"+"0000000000015f90"+"000000000000ea60")
	expect(t, serde.TimeWindowed(serde.String, minutely), windows.Key[string]{Key: "k", Window: minutely.Window(60_000)}, "6b"+"000000000000ea60")
}

// expect checks an encoding, behind bytes that are there already, and that it decodes again.
func expect[T any](t *testing.T, codec serde.Serde[T], value T, digits string) {
	t.Helper()
	data, err := codec.Append([]byte("before"), value)
	if err != nil || hex.EncodeToString(data) != hex.EncodeToString([]byte("before"))+digits {
		t.Errorf("%s: %v is %x (%v), want %s behind what was there", codec.Name(), value, data, err, digits)
		return
	}
	again, err := codec.Decode(data[len("before"):])
	if err != nil || !reflect.DeepEqual(again, value) {
		t.Errorf("%s: %v decodes as %v (%v)", codec.Name(), value, again, err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, serde.String, rapid.String())
		roundTrip(t, serde.Bytes, rapid.SliceOf(rapid.Byte()))
		roundTrip(t, serde.Int32, rapid.Int32())
		roundTrip(t, serde.Int64, rapid.Int64())
		roundTrip(t, serde.Float64, rapid.Float64())
		roundTrip(t, serde.Bool, rapid.Bool())
		roundTrip(t, serde.UUID[id](), rapid.Custom(func(t *rapid.T) id {
			return id(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		}))
		roundTrip(t, serde.JSON[order](), rapid.Custom(func(t *rapid.T) order {
			return order{
				ID:    rapid.String().Draw(t, "id"),
				Cents: rapid.Int64().Draw(t, "cents"),
				Tags:  map[string]string{rapid.String().Draw(t, "tag"): "x"},
				Note:  rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "note"),
			}
		}))
		keys := rapid.Custom(func(t *rapid.T) windows.Key[string] {
			start := rapid.Int64().Draw(t, "start")
			return windows.Key[string]{Key: rapid.String().Draw(t, "key"), Window: windows.Window{StartMs: start, EndMs: rapid.Int64().Draw(t, "end")}}
		})
		roundTrip(t, serde.Windowed(serde.String), keys)
		roundTrip(t, serde.SessionWindowed(serde.String), keys)
		roundTrip(t, serde.TimeWindowed(serde.String, minutely), rapid.Map(keys, func(k windows.Key[string]) windows.Key[string] {
			k.Window = minutely.Window(k.Window.StartMs)
			return k
		}))
	})
}

func roundTrip[T any](t *rapid.T, codec serde.Serde[T], values *rapid.Generator[T]) {
	value := values.Draw(t, codec.Name())
	data, err := codec.Append(nil, value)
	if err != nil {
		t.Fatalf("%s: encode %v: %v", codec.Name(), value, err)
	}
	again, err := codec.Decode(data)
	if err != nil || !reflect.DeepEqual(again, value) {
		t.Fatalf("%s: %v decodes as %v (%v)", codec.Name(), value, again, err)
	}
}

func TestNothingKeepsWhatItDecodes(t *testing.T) {
	keepsNothing(t, serde.String, "some text that is longer than a word")
	keepsNothing(t, serde.Bytes, []byte("bytes"))
	keepsNothing(t, serde.UUID[id](), id{1, 2, 3})
	keepsNothing(t, serde.JSON[order](), order{ID: "id", Tags: map[string]string{"a": "b"}, Note: []byte("note")})
	keepsNothing(t, serde.Windowed(serde.Bytes), windows.Key[[]byte]{Key: []byte("key"), Window: session})
	keepsNothing(t, serde.TimeWindowed(serde.Bytes, minutely), windows.Key[[]byte]{Key: []byte("key"), Window: minutely.Window(0)})
	keepsNothing(t, serde.SessionWindowed(serde.Bytes), windows.Key[[]byte]{Key: []byte("key"), Window: session})
}

func keepsNothing[T any](t *testing.T, codec serde.Serde[T], value T) {
	t.Helper()
	data, err := codec.Append(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := codec.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = '!'
	}
	if !reflect.DeepEqual(decoded, value) {
		t.Errorf("%s: the value changed with the bytes that it was decoded from: %v", codec.Name(), decoded)
	}
}

func TestWhatIsNoEncodingIsAnError(t *testing.T) {
	tests := []struct {
		decode func([]byte) (any, error)
		data   string
		words  string
	}{
		{untyped(serde.Int32), "123", "int32: 3 bytes, want 4"},
		{untyped(serde.Int64), "123456789", "int64: 9 bytes, want 8"},
		{untyped(serde.Int64), "", "int64: 0 bytes, want 8"},
		{untyped(serde.Float64), "1.5", "float64: 3 bytes, want 8"},
		{untyped(serde.Bool), "\x02", "bool: byte 2"},
		{untyped(serde.Bool), "", "bool: 0 bytes"},
		{untyped(serde.UUID[id]()), "123e4567", "uuid: 8 bytes, want 36"},
		{untyped(serde.UUID[id]()), "123e4567-e89b-12d3-a456-42661417400g", "invalid byte"},
		{untyped(serde.UUID[id]()), "123e4567_e89b-12d3-a456-426614174000", "hyphen at 8"},
		{untyped(serde.JSON[order]()), `{"id":5}`, "serde_test.order"},
		{untyped(serde.JSON[order]()), `{} {}`, "JSON"},
		{untyped(serde.JSON[order]()), "", "JSON"},
		{untyped(serde.Windowed(serde.String)), "short", "5 bytes, want at least 16"},
		{untyped(serde.Windowed(serde.Int64)), "0123456789abcdef", "int64: 0 bytes"},
		{untyped(serde.TimeWindowed(serde.String, minutely)), "short", "5 bytes, want at least 8"},
	}
	for _, test := range tests {
		if value, err := test.decode([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%q: %v, %v; want %q", test.data, value, err, test.words)
		}
	}
	if _, err := serde.JSON[float64]().Append(nil, math.NaN()); err == nil || !strings.Contains(err.Error(), "float64") {
		t.Errorf("NaN as JSON: %v", err)
	}
}

func untyped[T any](codec serde.Serde[T]) func([]byte) (any, error) {
	return func(data []byte) (any, error) { return codec.Decode(data) }
}

func TestNumbersAllocateNothing(t *testing.T) {
	buffer := make([]byte, 0, 64)
	n := testing.AllocsPerRun(100, func() {
		data, _ := serde.Int64.Append(buffer, 42)
		value, _ := serde.Int64.Decode(data)
		data, _ = serde.UUID[id]().Append(data, id{byte(value)})
		_, _ = serde.UUID[id]().Decode(data[8:])
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// point is 16 bytes that no other codec makes.
type point struct{ X, Y uint64 }

func TestACodecOfTwoFunctions(t *testing.T) {
	points := serde.Of("point",
		func(dst []byte, p point) ([]byte, error) {
			return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, p.X), p.Y), nil
		},
		func(data []byte) (p point, err error) {
			err = binary.Read(bytes.NewReader(data), binary.LittleEndian, &p)
			return p, err
		})
	expect(t, points, point{1, 2}, "0100000000000000"+"0200000000000000")
	if points.Name() != "point" {
		t.Fatal(points.Name())
	}
}

func TestNamesStandForFormats(t *testing.T) {
	names := []string{
		serde.String.Name(), serde.Bytes.Name(), serde.Int32.Name(), serde.Int64.Name(), serde.Float64.Name(), serde.Bool.Name(),
		serde.UUID[id]().Name(), serde.JSON[order]().Name(), serde.Windowed(serde.String).Name(), serde.Windowed(serde.Bytes).Name(),
		serde.TimeWindowed(serde.String, minutely).Name(), serde.SessionWindowed(serde.String).Name(),
	}
	seen := map[string]bool{}
	for _, name := range names {
		if name == "" || seen[name] {
			t.Errorf("%q stands for two formats, or for none", name)
		}
		seen[name] = true
	}
}
