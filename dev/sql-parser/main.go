// Command sql-parser reads every *.sql file of a folder and asks TiDB's own parser whether it accepts the statement.
//
//	sql-parser FOLDER
//
// Each refused statement is printed with the parser's message. Exit code: 0 all accepted; 1 some refused; 2 there was
// nothing to check or it could not be read.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pingcap/tidb/pkg/parser"
	// The parser makes its literals through a driver; this one stands alone, without the rest of TiDB.
	_ "github.com/pingcap/tidb/pkg/parser/test_driver"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: sql-parser FOLDER")
	}
	files, err := filepath.Glob(filepath.Join(os.Args[1], "*.sql"))
	if err != nil {
		fail(err.Error())
	}
	if len(files) == 0 {
		fail("no statement in " + os.Args[1])
	}
	refused := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			fail(err.Error())
		}
		if err := accepted(string(text)); err != nil {
			refused++
			fmt.Printf("refused: %s\n    %s\n    %s\n", filepath.Base(file), strings.TrimSpace(string(text)), err)
		}
	}
	fmt.Printf("%d statements, %d refused by TiDB's parser\n", len(files), refused)
	if refused > 0 {
		os.Exit(1)
	}
}

// accepted wants exactly one statement: an empty file would otherwise count as checked.
func accepted(text string) error {
	statements, _, err := parser.New().ParseSQL(text)
	if err != nil {
		return err
	}
	if len(statements) != 1 {
		return fmt.Errorf("holds %d statements, not one", len(statements))
	}
	return nil
}

func fail(problem string) {
	fmt.Fprintln(os.Stderr, "sql-parser: "+problem)
	os.Exit(2)
}
