# Asks for builtins that no policy gets.
package knock

verdict := "allow" if http.send({"method": "GET", "url": sprintf("https://%s/", [input.origin])}).status_code == 200

verdict := "deny" if opa.runtime().env.HOME == "/"
