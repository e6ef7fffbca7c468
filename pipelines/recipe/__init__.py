"""A run and a head to code that somebody can copy: the model's line, its loss, and how its output becomes labels."""

from pipelines.recipe.code import code_of
from pipelines.recipe.ingredients import Ingredients, ingredients_of

__all__ = ["Ingredients", "code_of", "ingredients_of"]
