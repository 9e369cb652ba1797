"""What `stlm evaluate` measures: `scoring` is what a model must offer, `suite` lists the tasks, `runner` runs and resumes them."""
