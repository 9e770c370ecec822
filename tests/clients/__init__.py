"""Real client libraries through the guard, and what each of them sees at every ending."""
