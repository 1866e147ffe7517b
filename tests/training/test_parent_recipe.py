"""What the recipe beside the weights of a parent says."""

from zoo.training.build import learned_from


def test_a_recipe_that_cannot_be_read_says_nothing(tmp_path):
    assert learned_from(str(tmp_path)) == {}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("family: rnn_seq2seq\ntask: translation\ndata: {source_lang: en}\n")
    assert learned_from(str(tmp_path)) == {"source_lang": "en"}
    recipe.write_text("family: rnn_seq2seq\ntask: translation\nof_another_version: 1\n")
    assert learned_from(str(tmp_path)) == {}
