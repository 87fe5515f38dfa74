"""One running instance, in rooms: each package answers one question, which its docstring asks. `node` puts them together."""
