// A safety checker's verdicts.

import type { Pixels } from '../../pixels.js';
import { pictureInput } from '../graphs/clip-vision.js';
import type { Session } from '../onnx/sessions.js';
import { preprocess } from './clip-image-processor.js';
import { exported, type SafetyChecker } from './safety-checker.js';
import { isFlagged } from './verdict.js';

/** Which of these pictures it flags. One after the other: a verdict does not depend on what else is there. */
export async function flaggedOf(
  { processor, concepts }: SafetyChecker,
  session: Session,
  pictures: readonly Pixels[],
): Promise<boolean[]> {
  const verdicts: boolean[] = [];
  for (const picture of pictures) {
    const { side } = processor;
    const input = { [pictureInput]: { data: preprocess(picture, processor), dims: [1, 3, side, side] } };
    if (concepts) {
      const [embeds] = await session.run(input);
      verdicts.push(isFlagged(embeds!.data, concepts));
    } else {
      const [flagged] = await session.run({ ...input, ...anyPicture(session) }, [exported.verdict]);
      verdicts.push(flagged!.data[0] !== 0);
    }
  }
  return verdicts;
}

/** The exported graph blackens what it flags: any pictures will do. */
function anyPicture(session: Session) {
  if (!session.takes(exported.pictures)) return {};
  const smallest = [1, 2, 2, 3];
  const dims = session.shapeOf(exported.pictures).map((side, i) => (typeof side === 'number' ? side : smallest[i]!));
  const count = dims.reduce((a, b) => a * b, 1);
  return { [exported.pictures]: { data: new Float32Array(count), dims } };
}
