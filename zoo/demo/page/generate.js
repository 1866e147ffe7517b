/** Greedy decoding with an exported encoder and one step of its decoder. */

/** Most likely token of the logits. */
function best(logits) {
  let place = 0;
  for (let i = 1; i < logits.length; i += 1) if (logits[i] > logits[place]) place = i;
  return place;
}

/**
 * Write token by token.
 *
 * An input of the decoder has the value of the encoder's output of the same name; after a step, an input `past_...` has
 * that of the decoder's output `present_...`. Keys and values of the target begin empty.
 *
 * @param {object} model from `openModel`
 * @param {Object<string, object>} inputs tensors of the encoder, one sequence
 * @yields {{token: number, attention: Float32Array | null, milliseconds: number}} EOS is the last one
 */
export async function* generate(model, inputs) {
  const { sessions, json, Tensor } = model;
  const [encoder, decoder] = [sessions["encoder_model.onnx"], sessions["decoder_model.onnx"]];
  const config = json["config.json"];
  const limits = json["generation_config.json"];
  let begun = performance.now();
  const encoded = await encoder.run(inputs);
  const state = {};
  for (const name of decoder.inputNames) {
    if (name === "input_ids") continue;
    state[name] = encoded[name];
    if (name.startsWith("past_") && !state[name]) {
      const heads = config.decoder_attention_heads;
      state[name] = new Tensor("float32", new Float32Array(0), [1, heads, 0, config.d_model / heads]);
    }
  }
  const source = encoded.last_hidden_state.dims[1];
  if (!state.encoder_attention_mask) {
    state.encoder_attention_mask = new Tensor("int64", new BigInt64Array(source).fill(1n), [1, source]);
  }
  const ends = [limits.eos_token_id].flat();
  let token = limits.decoder_start_token_id;
  for (let length = 1; length < limits.max_length; length += 1) {
    const input_ids = new Tensor("int64", BigInt64Array.of(BigInt(token)), [1, 1]);
    const outputs = await decoder.run({ input_ids, ...state });
    for (const name of decoder.inputNames) {
      const after = name.replace("past_", "present_");
      if (name.startsWith("past_") && outputs[after]) state[name] = outputs[after];
    }
    token = best(outputs.logits.data);
    yield { token, attention: outputs.cross_attention?.data ?? null, milliseconds: performance.now() - begun };
    if (ends.includes(token)) return;
    begun = performance.now();
  }
}
