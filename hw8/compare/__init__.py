"""Many runs in one table: training them, ranking them, and whether differences are real."""
