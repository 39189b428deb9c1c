import type { SampledSequence, SampleRequest, SamplingClient } from "./types.js";

/**
 * Samples the requests whose prompts leave room for a completion in a context of `contextLength` tokens (default:
 * unlimited): the sequences of each, in order. A prompt that leaves none gets no sequence; its neighbours do.
 */
export async function sampleFitting(
  sampler: SamplingClient,
  requests: readonly SampleRequest[],
  contextLength = Number.POSITIVE_INFINITY,
  options: Parameters<SamplingClient["sample"]>[1] = {},
): Promise<SampledSequence[][]> {
  const asked = requests.filter(({ prompt }) => prompt.length < contextLength);
  const results = await sampler.sample(asked, options);
  const sequences = new Map(asked.map((request, place) => [request, results[place]?.sequences]));
  return requests.map((request) => sequences.get(request) ?? []);
}
