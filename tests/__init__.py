"""Everything that shows that the guard keeps its promises."""
