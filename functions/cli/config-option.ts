import { Option } from 'commander';

export function configOption(): Option {
  return new Option('--config <file>', 'settings as JSON, by the names of the environment, which wins; else stlm.config.json if it is there').env('STLM_CONFIG');
}
