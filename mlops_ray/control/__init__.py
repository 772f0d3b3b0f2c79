"""The loop: reconciles rollouts and retrainings from the store, and what people ask of it."""
