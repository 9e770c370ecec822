"""The control page: what is stopped, what a stop would cut, and the two buttons; rendered here, without a build."""
