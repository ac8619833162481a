"""How nodes tell each other that something happened. A publish is a hint: seqs repair what is lost."""
