"""A portrait listens to a speaker: DiTaiListener-Gen with its causal temporal multimodal adapter."""
