// Asks the snippet of the page about each case on standard input, and says who it is, or nobody.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"

	"ztproxy.test/applications/caller"
)

func main() {
	var cases []map[string]string
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		log.Fatal(err)
	}
	answers := make([]any, 0, len(cases))
	for _, fields := range cases {
		request, _ := http.NewRequest(http.MethodGet, "/", nil)
		for name, value := range fields {
			request.Header.Set(name, value)
		}
		if who, err := caller.Of(request); err == nil {
			answers = append(answers, []any{who.Provider, who.Subject, who.Email, who.Groups})
		} else {
			answers = append(answers, nil)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}
