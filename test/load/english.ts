/** Text for prompts: the opening of "The Time Machine" by H. G. Wells (1895, public domain), as often as it takes. */
const TEXT =
  'The Time Traveller (for so it will be convenient to speak of him) was expounding a recondite matter to us. His pale grey eyes ' +
  'shone and twinkled, and his usually pale face was flushed and animated. The fire burnt brightly, and the soft radiance of the ' +
  'incandescent lights in the lilies of silver caught the bubbles that flashed and passed in our glasses. Our chairs, being his ' +
  'patents, embraced and caressed us rather than submitted to be sat upon, and there was that luxurious after-dinner atmosphere, ' +
  'when thought runs gracefully free of the trammels of precision. ';

export function englishText(bytes: number): string {
  return TEXT.repeat(Math.ceil(bytes / TEXT.length)).slice(0, bytes);
}
