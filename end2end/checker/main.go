// Command checker says whether a history of operations on registers and sets is linearizable. Porcupine decides; here is what
// a register and a set are, and what becomes of operations whose outcome nobody knows.
//
//	checker HISTORY.json [SECONDS]
//
// It ends with 0 when the history is linearizable, 1 when it is not (one line a key that is not), 2 when there was not the time
// to tell, and 3 when the history can't be read. A picture of each key that is not is written beside the history.
package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

// An Operation as journeys record it. Times are nanoseconds of one monotonic clock.
type Operation struct {
	Client int    `json:"client"`
	Kind   string `json:"kind"` // read, write, cas of a register; append, list of a set
	Key    string `json:"key"`
	Call   int64  `json:"call"`
	// Absent: nobody knows whether it happened.
	Return *int64 `json:"return"`
	// What was written, appended or read; a register that is not there reads as "".
	Value string `json:"value"`
	// At which index the value was written.
	Index uint64 `json:"index"`
	// Which index a cas asks for.
	Expected uint64 `json:"expected"`
	// What a list showed.
	Seen []string `json:"seen"`
}

// A register knows its value and at which index that was written.
type register struct {
	value string
	index uint64
}

var registers = porcupine.Model{
	Init: func() interface{} { return register{} },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		now, op := state.(register), input.(Operation)
		next := register{op.Value, op.Index}
		switch op.Kind {
		case "read":
			return now == next, now
		case "write":
			return op.Index > now.index, next
		case "cas":
			return op.Expected == now.index && op.Index > now.index, next
		}
		return false, now
	},
	DescribeOperation: func(input, _ interface{}) string {
		op := input.(Operation)
		if op.Kind == "cas" {
			return fmt.Sprintf("cas %d: %s@%d", op.Expected, op.Value, op.Index)
		}
		return fmt.Sprintf("%s %s@%d", op.Kind, op.Value, op.Index)
	},
}

// What is done to a set, with each member as one bit.
type setOp struct {
	Operation
	bits *big.Int
}

var sets = porcupine.Model{
	// The bits as a string: states are compared and kept.
	Init: func() interface{} { return "" },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		now, op := new(big.Int).SetBytes([]byte(state.(string))), input.(setOp)
		if op.Kind == "list" {
			return now.Cmp(op.bits) == 0, state
		}
		return true, string(now.Or(now, op.bits).Bytes())
	},
	DescribeOperation: func(input, _ interface{}) string {
		op := input.(setOp)
		if op.Kind == "list" {
			return fmt.Sprintf("list of %d", len(op.Seen))
		}
		return "append " + op.Value
	},
}

// Settles what became of operations without an outcome, which would otherwise stay open to the end and make the search long.
// What nobody ever saw may be left out: taking it away makes no operation of a register or a set impossible (a refused cas is not part of
// a history). What was seen happened before the first operation that saw it returned, at the index that it shows.
func settle(ops []Operation) []Operation {
	type sight struct {
		until int64
		index uint64
	}
	first := map[string]sight{}
	see := func(value string, until int64, index uint64) {
		if known, ok := first[value]; !ok || until < known.until {
			first[value] = sight{until, index}
		}
	}
	byIndex := map[uint64]string{}
	for _, op := range ops {
		if op.Kind == "read" {
			byIndex[op.Index] = op.Value
		}
	}
	for _, op := range ops {
		switch {
		case op.Kind == "read":
			see(op.Value, *op.Return, op.Index)
		case op.Kind == "cas" && op.Return != nil:
			// It was read before, or else is nobody's.
			see(byIndex[op.Expected], *op.Return, op.Expected)
		case op.Kind == "list":
			for _, member := range op.Seen {
				see(member, *op.Return, 0)
			}
		}
	}
	var settled []Operation
	for _, op := range ops {
		if op.Return == nil {
			seen, ok := first[op.Value]
			if !ok {
				continue
			}
			until := seen.until
			if until < op.Call {
				until = op.Call // seen before it was asked for: the model will say so
			}
			op.Return, op.Index = &until, seen.index
		}
		settled = append(settled, op)
	}
	return settled
}

func check(ops []Operation, limit time.Duration) (porcupine.CheckResult, porcupine.LinearizationInfo, porcupine.Model) {
	ops = settle(ops)
	model, bits := registers, map[string]int{}
	bit := func(member string) int {
		if _, ok := bits[member]; !ok {
			bits[member] = len(bits)
		}
		return bits[member]
	}
	var history []porcupine.Operation
	for _, op := range ops {
		var input interface{} = op
		if op.Kind == "append" || op.Kind == "list" {
			model = sets
			members := new(big.Int)
			if op.Kind == "append" {
				members.SetBit(members, bit(op.Value), 1)
			}
			for _, member := range op.Seen {
				members.SetBit(members, bit(member), 1)
			}
			input = setOp{op, members}
		}
		history = append(history, porcupine.Operation{ClientId: op.Client, Input: input, Call: op.Call, Return: *op.Return})
	}
	result, info := porcupine.CheckOperationsVerbose(model, history, limit)
	return result, info, model
}

func run() int {
	if len(os.Args) < 2 {
		fmt.Println("usage: checker HISTORY.json [SECONDS]")
		return 3
	}
	seconds := 60
	if len(os.Args) > 2 {
		var err error
		if seconds, err = strconv.Atoi(os.Args[2]); err != nil {
			fmt.Println("SECONDS:", err)
			return 3
		}
	}
	text, err := os.ReadFile(os.Args[1])
	var ops []Operation
	if err == nil {
		err = json.Unmarshal(text, &ops)
	}
	if err != nil {
		fmt.Println("reading the history:", err)
		return 3
	}
	keys, kinds := map[string][]Operation{}, map[string]int{}
	for _, op := range ops {
		if op.Return == nil && (op.Kind == "read" || op.Kind == "list") {
			fmt.Println("a", op.Kind, "without an answer is no operation")
			return 3
		}
		keys[op.Key] = append(keys[op.Key], op)
		kinds[op.Kind]++
	}
	if len(ops) == 0 {
		fmt.Println("an empty history proves nothing")
		return 3
	}
	var names []string
	for key := range keys {
		names = append(names, key)
	}
	sort.Strings(names)
	until, worst := time.Now().Add(time.Duration(seconds)*time.Second), 0
	for _, key := range names {
		left := time.Until(until)
		if left <= 0 {
			left = time.Nanosecond // 0 would be for ever
		}
		result, info, model := check(keys[key], left)
		switch result {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			fmt.Println("unknown:", key)
			if worst == 0 {
				worst = 2
			}
		case porcupine.Illegal:
			fmt.Println("not linearizable:", key)
			worst = 1
			picture := filepath.Join(filepath.Dir(os.Args[1]), key+".html")
			if err := porcupine.VisualizePath(model, info, picture); err != nil {
				fmt.Println("drawing it:", err)
			}
		}
	}
	if worst == 0 {
		fmt.Printf("linearizable: %d operations on %d keys %v\n", len(ops), len(keys), kinds)
	}
	return worst
}

func main() {
	os.Exit(run())
}
