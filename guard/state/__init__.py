"""What the processes of one host share: stop orders as immutable files, the switches read from them, rate counters.

``orders`` are the statements and their one written form, ``merge`` what a set of them means, ``resume`` what lifting
would do, ``directory`` the files, ``switches`` a worker's view of them, ``acknowledgements`` who has obeyed, and
``counters`` the rate limits. This is the state of one host: a fleet needs every host told.
"""
