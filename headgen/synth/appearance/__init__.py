"""How heads look: textures, hair, eyes, glasses, clothes, light, cameras."""
