"""How wide an interval a plan of runs will give, and which runs to buy next."""
