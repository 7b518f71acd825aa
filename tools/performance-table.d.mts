interface Result {
  readonly file: string;
  readonly results: { readonly scale: string };
}

export function withTable(text: string, result: Result): string;
export function newestResult(): Result;
