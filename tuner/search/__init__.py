"""Which candidates to measure next."""

from tuner.search.base import Proposal, SearchStrategy
from tuner.search.evolution import EvolutionarySearch, search_options
from tuner.search.random_search import RandomSearch
from tuner.search.scorer import Scorer

__all__ = ["EvolutionarySearch", "Proposal", "RandomSearch", "Scorer", "SearchStrategy", "search_options"]
