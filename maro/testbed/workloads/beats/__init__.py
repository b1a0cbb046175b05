"""One component sends without a pause, another one tells when it hears of it: for the measuring of recoveries."""
