"""The demo: a simulated SaaS company, its traffic, and one model that goes round the whole loop."""
